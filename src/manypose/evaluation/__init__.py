"""Evaluation of models and of result files on data sets."""
