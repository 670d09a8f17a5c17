r"""Moves rescued values of a table to a column that it declares since.

spark-submit --properties-file .feldspar/spark/local.conf jobs/rescued_promote.py \
    transactions tip --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("rescued promote")
