"""A shop's random history as silver rows, in commits of random size."""

import random
from datetime import timedelta

from tests.warehouse import AT, MemorySilver

PRODUCTS, CUSTOMERS, ORDERS = 6, 5, 25
COUNTRIES = ("FR", "DE", "JP")
STEPS = ("view", "cart", "checkout", "purchase", "review")
KINDS = (("receipt", 1), ("sale", -1), ("return", 1), ("adjustment", -1))


class RandomShop:
    """Makes changes; each is one row of one table of the schema `entity`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.offsets = {}
        self.versions = {}

    def commits(self, count: int) -> list[dict[str, list[dict]]]:
        makers = (self.order, self.line, self.payment, self.movement, self.interaction,
                  self.product, self.customer, self.supplier, self.returned)  # fmt: skip
        weights = (6, 8, 3, 4, 4, 2, 2, 1, 3)
        found = []
        for _ in range(count):
            commit = {}
            for maker in self.random.choices(makers, weights, k=self.random.randint(1, 25)):
                for table, row in maker():
                    commit.setdefault(table, []).append(row)
            found.append(commit)
        return found

    def instant(self):
        return AT + timedelta(minutes=self.random.randint(0, 60 * 24 * 70))

    def key(self, most):
        return self.random.randint(1, most)

    def is_deleted(self):
        return {"_deleted_at": AT} if self.random.random() < 0.12 else {}

    def order(self):
        pick = self.random
        subtotal = pick.randint(0, 3000)
        discount = pick.randint(0, subtotal)
        shipping, tax = pick.randint(0, 500), pick.randint(0, 500)
        rate = pick.choice((100_000_000, 612_345, 117_000_001))
        total = subtotal - discount + shipping + tax
        placed_at = self.instant()
        yield "orders", {
            "order_id": self.key(ORDERS), "customer_id": pick.choice((None, 1, 2, 3, 4, 5)),
            "status": pick.choice(("placed", "paid", "cancelled", "returned")),
            "channel": pick.choice(("web", "phone")), "ship_country": pick.choice(COUNTRIES),
            "exchange_rate_e8": rate, "subtotal_cents": subtotal, "discount_cents": discount,
            "shipping_cents": shipping, "tax_cents": tax, "total_cents": total,
            "base_total_cents": (total * rate * 2 + 10**8) // (2 * 10**8), "placed_at": placed_at,
            "paid_at": pick.choice((None, placed_at)), **self.is_deleted(),
        }  # fmt: skip

    def line(self):
        yield "order_lines", {
            "order_line_id": self.key(3 * ORDERS), "order_id": self.key(ORDERS),
            "line_number": self.key(3), "product_id": self.key(PRODUCTS + 1),
            "quantity": self.key(4), "line_total_cents": self.random.randint(0, 1200),
            **self.is_deleted(),
        }  # fmt: skip

    def payment(self):
        yield "payments", {
            "payment_id": self.key(ORDERS), "order_id": self.key(ORDERS),
            "kind": self.random.choice(("payment", "refund")),
            "status": self.random.choice(("captured", "failed")),
            "amount_cents": self.random.randint(1, 900), "created_at": self.instant(),
            **self.is_deleted(),
        }  # fmt: skip

    def returned(self):
        yield "returns", {
            "return_id": self.key(ORDERS), "order_id": self.key(ORDERS),
            "order_line_id": self.key(3 * ORDERS), "quantity": self.key(4),
            "reason": self.random.choice(("damaged", "too_small")), "condition": "opened",
            "refund_cents": self.random.randint(0, 900), "returned_at": self.instant(),
            **self.is_deleted(),
        }  # fmt: skip

    def movement(self):
        kind, sign = self.random.choice(KINDS)
        yield "stock_movements", {
            "movement_id": self.key(40), "product_id": self.key(PRODUCTS), "kind": kind,
            "warehouse_code": self.random.choice("xy"), "quantity": sign * self.key(20),
            "occurred_at": self.instant(), **self.is_deleted(),
        }  # fmt: skip

    def interaction(self):
        yield "interactions", {
            "interaction_id": self.key(60), "session_id": self.random.choice("abcdef"),
            "customer_id": self.random.choice((None, 1, 2, 3, 4, 5)),
            "product_id": self.random.choice((None, 1, 2, 3, 4, 5, 6)),
            "interaction_type": self.random.choice(STEPS),
            "device": self.random.choice(("desktop", "mobile")),
            "occurred_at": self.instant(), **self.is_deleted(),
        }  # fmt: skip

    def supplier(self):
        yield "suppliers", {
            "supplier_id": self.key(3), "name": self.random.choice("abc"), **self.is_deleted()
        }  # fmt: skip

    def product(self):
        values = {
            "supplier_id": self.key(3), "category": self.random.choice(("Books", "Toys")),
            "cost_cents": self.random.choice((50, 60, 70)), "brand": self.random.choice("mn"),
        }  # fmt: skip
        return self._version("products", "product_id", self.key(PRODUCTS), values)

    def customer(self):
        values = {"city": self.random.choice("ab"), "phone": self.random.choice("pq")}
        return self._version("customers", "customer_id", self.key(CUSTOMERS), values)

    def _version(self, table, key_name, key, values):
        """A change at a random offset, perhaps a late one: all versions of the key come again."""
        self.offsets[table] = self.offsets.get(table, 0) + 1
        known = self.versions.setdefault((table, key), [])
        offset = self.offsets[table]
        known.append((self.instant(), offset, {**values, **self.is_deleted()}))
        known.sort(key=lambda version: version[:2])
        for number, (from_at, of_offset, row) in enumerate(known):
            to_at = known[number + 1][0] if number + 1 < len(known) else None
            yield f"{table}_history", {
                key_name: key, "_offset": of_offset, "valid_from_at": from_at,
                "valid_to_at": to_at, **row,
            }  # fmt: skip


def silver_after(commits) -> MemorySilver:
    """All of these commits in one silver."""
    silver = MemorySilver()
    for commit in commits:
        silver.commit(**commit)
    return silver
