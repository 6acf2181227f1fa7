"""Serves clips of pixels over the Open Inference Protocol, version 2. Knows neither HTTP nor model engines."""
