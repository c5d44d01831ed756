"""The addresses of pages for payers. They begin as :data:`invoices.links.PATH` says."""

from django.urls import path

from billing_project.hosted import views

urlpatterns = [
    path("<str:token>", views.invoice_page, name="hosted-invoice"),
    path("<str:token>/pdf", views.invoice_pdf, name="hosted-invoice-pdf"),
    path("<str:token>/credit-notes/<int:sequence>", views.note_page, name="hosted-credit-note"),
    path("<str:token>/credit-notes/<int:sequence>/pdf", views.note_pdf, name="hosted-credit-note-pdf"),
]
