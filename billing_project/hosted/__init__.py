"""Pages for people who have a link and no account: an invoice, as its payer sees it."""
