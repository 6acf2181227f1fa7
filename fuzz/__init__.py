"""Programs that look for inputs which break a law; the first line of each says which law."""
