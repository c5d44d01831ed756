"""What the dialects read and do in the same way. It knows none of them, and says nothing in anybody's words."""
