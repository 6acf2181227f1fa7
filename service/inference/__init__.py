"""Turns clips of pixels into probabilities. Knows neither HTTP nor video files."""
