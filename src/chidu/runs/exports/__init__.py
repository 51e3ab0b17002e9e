"""What trackers leave: folders and files of W&B, MLflow, TensorBoard and trackio, and CSV files of their sites.

tracked.py      one run as a tracker knows it, and the table of many
finding.py      which tracker's a file or folder is
sqlite.py       SQLite files, opened for reading alone
wandb.py        `.wandb` files (package wandb)
mlflow.py       `mlruns` folders and SQLite files
trackio.py      SQLite files
tensorboard.py  event files (package tensorboard)
downloads.py    CSV files that sites and APIs give
"""

from chidu.runs.exports.downloads import read_download
from chidu.runs.exports.finding import read_export

__all__ = ["read_download", "read_export"]
