"""The lists as people read them: of one customer, of one product, or all, for a mailing."""

from pathlib import Path

import polars as pl

from batch.gold.silver import KEY_TYPES, pin
from lakehouse.contracts.gold import RECOMMENDATIONS, SIMILAR_PRODUCTS, GoldTable
from lakehouse.delta import retry_later, scan
from lakehouse.errors import StopPipelineError, WrongArgumentError
from lakehouse.lake import Lake

_TRAIN = "./pipeline recommend train"
_SHOWN = ("name", "category")


def of_customer(lake: Lake, customer_id: int | str) -> pl.DataFrame:
    """Return the lists of a customer, by kind and rank, with the products' current names.

    Raises:
        WrongArgumentError: there is no such customer.
        StopPipelineError: no list was made yet, or none of this customer.
        RetryLaterError: the object store does not answer.
    """
    with retry_later("the recommendations cannot be read"):
        _require(lake, "enriched_users", "customer_id", customer_id)
        rows = _lists(lake, RECOMMENDATIONS).filter(_is_key("customer_id", customer_id))
        found = _named(lake, rows, "product_id").sort("kind", "rank").collect()
    if found.is_empty():
        problem = f"Customer {customer_id} is in no list: the account is newer than the training"
        raise StopPipelineError(problem, f"Train again: {_TRAIN}.")
    return found.select("kind", "rank", "product_id", *_SHOWN, "score_millionths", "model_version")


def of_product(lake: Lake, product_id: int | str) -> pl.DataFrame:
    """Return the products that are often bought together with one; arguments and errors likewise.

    Raises:
        WrongArgumentError: there is no such product.
        StopPipelineError: no list was made yet, or none of this product.
        RetryLaterError: the object store does not answer.
    """
    with retry_later("the recommendations cannot be read"):
        _require(lake, "cleaned_products", "product_id", product_id)
        rows = _lists(lake, SIMILAR_PRODUCTS).filter(_is_key("product_id", product_id))
        found = _named(lake, rows, "similar_product_id").sort("rank").collect()
    if found.is_empty():
        problem = (
            f"Product {product_id} is in no list: it is newer than the training, or unlike all"
        )
        raise StopPipelineError(problem, f"Train again: {_TRAIN}.")
    return found.select(
        "rank", "similar_product_id", *_SHOWN, "orders_together", "score_millionths"
    )


def for_mailing(lake: Lake) -> pl.LazyFrame:
    """Return the lists of all customers who accept marketing, with address and first name.

    Accounts that were deleted since the training, and products that were, are left out.

    Raises:
        StopPipelineError: no list was made yet.
        RetryLaterError: the object store does not answer.
    """
    users = pin(lake, ["enriched_users"], {})["enriched_users"].current()
    chosen = users.filter(pl.col("accepts_marketing"))
    chosen = chosen.select("customer_id", "email", "first_name")
    lists = _named(lake, _lists(lake, RECOMMENDATIONS), "product_id")
    return (
        lists.join(chosen, on="customer_id")
        .select("customer_id", "email", "first_name", "kind", "rank", "product_id", "sku", *_SHOWN)
        .sort("customer_id", "kind", "rank")
    )


def export(lake: Lake, path: Path, *, is_parquet: bool) -> int:
    """Write `for_mailing` to a file, which replaces an older one at the end; return its rows.

    Raises:
        WrongArgumentError: the file cannot be written there.
    """
    with retry_later("the recommendations cannot be read"):
        rows = for_mailing(lake).collect()
    part = path.with_name(f"{path.name}.part")
    try:
        if is_parquet:
            rows.write_parquet(part)
        else:
            rows.write_csv(part)
        part.replace(path)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise WrongArgumentError(problem, "Choose another file with --to.") from error
    return rows.height


def _lists(lake: Lake, table: GoldTable) -> pl.LazyFrame:
    delta = lake.open("gold", table.name)
    if delta is None:
        problem = f"gold/{table.name} does not exist: nothing was trained yet"
        raise StopPipelineError(problem, f"Train: {_TRAIN}.")
    return scan(delta)


def _named(lake: Lake, rows: pl.LazyFrame, key: str) -> pl.LazyFrame:
    products = pin(lake, ["cleaned_products"], {})["cleaned_products"].current()
    names = products.select("product_id", "sku", *_SHOWN)
    return rows.join(names, left_on=key, right_on="product_id")


def _is_key(key: str, value: int | str) -> pl.Expr:
    return pl.col(key) == pl.lit(value).cast(KEY_TYPES[key], strict=False)


def _require(lake: Lake, table: str, key: str, value: int | str) -> None:
    rows = pin(lake, [table], {})[table].current().filter(_is_key(key, value))
    if rows.head(1).collect().is_empty():
        problem = f"silver/{table} has no {key} {value}"
        action = f"To list some: ./pipeline query 'from silver.{table} limit 10'."
        raise WrongArgumentError(problem, action)
