"""A table is tried, then carried out, and changes nothing the second time; hostile files are answered in words."""

import io
import zipfile
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from openpyxl import Workbook

from accounts.models import Customer
from billing_project.console.tests.conftest import Worlds
from billing_project.console.tests.visits import member, signed_in
from billing_project.console.tests.world import World
from core.ids import spell
from core.spreadsheets import csv_chunks
from invoices.exports import Selection, table_of
from subscriptions.models import Price, Product
from webhooks.models import Event

PAGE = reverse("console-import")


@pytest.fixture
def client(worlds: Worlds) -> Client:
    return signed_in(member(worlds.ours.company, username="ours"))


def try_(client: Client, world: World, table: str, content: bytes | str) -> Any:
    file = SimpleUploadedFile("table.csv", content.encode() if isinstance(content, str) else content)
    answer = client.post(PAGE, {"table": table, "environment": str(world.environment.pk), "file": file})
    assert answer.status_code == 200
    return answer


def carry_out(client: Client, tried: Any) -> Any:
    told = {name: tried.context[name] for name in ("table", "rows")}
    return client.post(PAGE, {**told, "environment": str(tried.context["environment"].pk)})


def fates(answer: Any) -> list[str]:
    return [outcome.fate.value for outcome in answer.context["outcomes"]]


def test_customers_are_tried_made_changed_and_left(worlds: Worlds, client: Client) -> None:
    known = worlds.ours.customer
    table = (
        "id;email;Name\n"
        ";new@example.com;New one\n"
        f"{spell('cus', known.pk)};;Renamed\n"
        f"{spell('cus', worlds.theirs.customer.pk)};;Stolen\n"
        ";new@example.com;Twice\n"
        ";no address;Wrong\n"
        ";;Nobody\n"
    )
    before = Customer.objects.count(), Event.objects.count()

    tried = try_(client, worlds.ours, "customers", table)
    assert fates(tried) == ["made", "changed", "refused", "refused", "refused", "refused"]
    assert "Renamed" in tried.content.decode()
    assert (Customer.objects.count(), Event.objects.count()) == before

    assert fates(carry_out(client, tried)) == fates(tried)
    known.refresh_from_db()
    made = Customer.objects.get(email="new@example.com")
    assert (known.name, made.name, made.environment) == ("Renamed", "New one", worlds.ours.environment)
    # Programs are told of what was made and changed.
    assert Event.objects.count() == before[1] + 2
    worlds.theirs.customer.refresh_from_db()
    assert worlds.theirs.customer.name != "Stolen"

    assert fates(carry_out(client, tried)) == ["left", "left", "refused", "refused", "refused", "refused"]
    assert (Customer.objects.count(), Event.objects.count()) == (before[0] + 1, before[1] + 2)


def test_the_catalog_is_taken_edited_and_brought_back(worlds: Worlds, client: Client) -> None:
    ours = worlds.ours
    tried = try_(client, ours, "products", "id,name,unit_label\nseat,A seat,seat\n")
    carry_out(client, tried)
    prices = (
        "lookup_key,product,currency,unit_price,interval,meter,nickname\n"
        "seat_monthly,seat,USD,12.50,month,,Per seat\n"
        f"calls,seat,usd,0.0001,month,{ours.meter.event_name},Calls\n"
        f"theirs,seat,usd,1,month,{worlds.theirs.meter.event_name},\n"
        "nothing,seat,usd,NaN,month,,\n"
    )
    tried = try_(client, ours, "prices", prices)
    assert fates(tried) == ["made", "made", "refused", "refused"]
    carry_out(client, tried)
    price = Price.objects.get(lookup_key="seat_monthly")
    assert (price.unit_amount, price.product.slug, price.interval) == (Decimal(1250), "seat", "month")
    assert Price.objects.get(lookup_key="calls").unit_amount == Decimal("0.01")

    for name in ("products", "prices", "customers"):
        taken = b"".join(csv_chunks(table_of(name, Selection(ours.environment))))
        assert set(fates(try_(client, ours, name, taken))) == {"left"}, name

    # What a price costs never changes.
    tried = try_(client, ours, "prices", prices.replace("12.50", "13").replace("Calls\n", "API calls\n"))
    assert fates(tried)[:2] == ["refused", "changed"]
    assert "lookup key" in tried.context["outcomes"][0].words


def test_a_workbook_is_read_like_a_csv_and_text_is_no_formula(worlds: Worlds, client: Client) -> None:
    book = Workbook()
    sheet: Any = book.active
    sheet.append(["name", "email", "description"])
    sheet.append(["'=cmd()", "sheet@example.com", 12.5])
    file = io.BytesIO()
    book.save(file)

    carry_out(client, try_(client, worlds.ours, "customers", file.getvalue()))
    made = Customer.objects.get(email="sheet@example.com")
    assert (made.name, made.description) == ("=cmd()", "12.5")
    taken = b"".join(csv_chunks(table_of("customers", Selection(worlds.ours.environment)))).decode()
    assert "'=cmd()" in taken


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 60_000_000)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "submitted file is empty"),
        (b"\xff\xfe\x00", "neither XLSX nor text"),
        (b"PK\x03\x04 but no archive", "cannot be read"),
        (bomb(), "too large"),
        (b"email\n" + b"a@example.com\n" * 2_001, "more than 2,000 rows"),
        (b"email\n" + b"x" * 1_000_001, "larger than 1 MB"),
        (b"email\n\x00@example.com\n", "no text"),
        (b'email\n"never ends\n', "not CSV"),
        (b"email,email\n", "Two columns"),
        (b"email,password\na@example.com,x\n", "No column of customers is called password"),
        (b"email\na@example.com,more\n", "more cells"),
    ],
    # Not by their bytes: a workbook holds the second it was made in, so no two processes would name it alike.
    ids=lambda part: part.replace(" ", "-") if isinstance(part, str) else "file",
)
def test_a_file_that_is_no_table_is_answered_in_words(
    worlds: Worlds, client: Client, content: bytes, words: str
) -> None:
    before = Customer.objects.count()
    answer = try_(client, worlds.ours, "customers", content)
    assert words in answer.content.decode()
    assert Customer.objects.count() == before


def test_an_import_ends_at_the_wall_and_asks_the_role(worlds: Worlds, client: Client) -> None:
    assert "Select a valid choice" in try_(client, worlds.theirs, "products", "name\nTheirs\n").content.decode()
    forged = {"table": "products", "environment": str(worlds.theirs.environment.pk), "rows": '[{"name": "Forged"}]'}
    assert "Select a valid choice" in client.post(PAGE, forged).content.decode()
    for rows in ("", "[1]", '{"a": 1}', '[{"name": 1}]', "["):
        forged |= {"environment": str(worlds.ours.environment.pk), "rows": rows}
        assert "Choose a file." in client.post(PAGE, forged).content.decode()

    developer = signed_in(member(worlds.ours.company, role="developer", username="dev"))
    assert "Select a valid choice" in try_(developer, worlds.ours, "products", "name\nTheirs\n").content.decode()
    auditor = signed_in(member(worlds.ours.company, role="auditor", username="auditor"))
    assert auditor.get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302
    assert not Product.objects.filter(name__in=["Theirs", "Forged"]).exists()
