"""`python -m framewise` runs the command `framewise`."""

from framewise.cli.app import app

if __name__ == "__main__":
    app()
