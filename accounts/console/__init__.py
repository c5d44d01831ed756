"""What every page of the console rests on: the walls between companies, and actions that ask before they act."""
