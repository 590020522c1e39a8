"""A mapping of a shop of another design, for tests."""

from pathlib import Path

import yaml

from lakehouse.contracts.declared import read_contracts
from lakehouse.contracts.mapping import MappingFile, read_mapping_file

MAPPING = """\
absent: [suppliers, interactions, returns, stock_movements, customers, payments]
time_zone: Europe/Berlin
orders:
  table: purchase
  key: text
  columns:
    order_id: id
    channel: {constant: web}
    status: {case: state, values: {"1": placed, "2": paid, "3": shipped, "4": cancelled}}
    currency: {coalesce: [currency_code, {constant: EUR}]}
    exchange_rate_e8: {constant: 1}
    subtotal_cents: {difference: [{minor: total_minor}, {minor: tax_minor}]}
    discount_cents: {constant: 0}
    shipping_cents: {constant: 0}
    tax_cents: {minor: tax_minor}
    total_cents: {minor: total_minor}
    base_total_cents: {minor: total_minor}
    ship_city: {concat: [postcode, town], separator: " "}
    ship_region: {constant: unknown}
    ship_country: country_code
    placed_at: {local_time: ordered_on}
    created_at: {local_time: ordered_on}
order_lines:
  table: purchase_item
  key: text
  columns:
    order_line_id: id
    order_id: purchase_id
    line_number: position
    product_id: article_number
    warehouse_code: {constant: main}
    quantity: pieces
    unit_price_cents: {net: {minor: gross_minor}, tax_percent: vat_percent}
    line_total_cents: {product: [pieces, {net: {minor: gross_minor}, tax_percent: vat_percent}]}
    created_at: {local_time: created_on}
products:
  table: article
  columns:
    product_id: number
    supplier_id: {constant: 1}
    sku: code
    name: title
    category: {constant: Books}
    brand: {constant: none}
    description: title
    price_cents: {minor: gross_minor}
    cost_cents: {minor: gross_minor}
    weight_grams: {constant: 1}
    is_active: {constant: true}
    created_at: {local_time: created_on}
"""


def read_text(folder: Path, text: str = MAPPING) -> MappingFile:
    """Read a mapping from its text."""
    path = folder / "mapping.yaml"
    path.write_text(text)
    found = read_mapping_file(read_contracts(), path)
    assert found is not None
    return found


def without(entity: str, column: str) -> str:
    """Return the mapping without a column."""
    given = yaml.safe_load(MAPPING)
    del given[entity]["columns"][column]
    return yaml.safe_dump(given, sort_keys=False)
