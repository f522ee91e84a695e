"""Graphs to start from, and the program that runs them all."""
