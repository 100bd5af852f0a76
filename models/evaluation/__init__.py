"""Evaluation: every model beside what it has to beat, on people it has never seen."""
