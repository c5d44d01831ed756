"""What an invoice says to whoever pays it, on paper and on its page."""

from invoices.documents.contents import Document, Line, Party, Step, Sum, document_of
from invoices.documents.printing import print_invoice

__all__ = ["Document", "Line", "Party", "Step", "Sum", "document_of", "print_invoice"]
