"""Suffixes of the names of video files, by which folders are searched."""

VIDEO_SUFFIXES = frozenset(
    [
        *(".264", ".265", ".3gp", ".apng", ".asf", ".avi", ".avif", ".dav", ".dv", ".flv", ".gif", ".h264", ".hevc"),
        *(".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut"),
        *(".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    ]
)
"""In lower case, with the dot. A file with another suffix may be a video too."""
