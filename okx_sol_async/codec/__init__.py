"""From bytes to values: the envelope around a response, and the models inside."""
