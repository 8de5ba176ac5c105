"""Damaged bytes for every decoder: only the codec's own error may come out, within bounded memory."""
