"""Devices that compute labels, whatever they are: how they are found and chosen, shared out work, and checked."""
