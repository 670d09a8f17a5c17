"""Trains, judges and promotes the models that are due.

spark-submit --properties-file .feldspar/spark/local.conf jobs/train.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("train")
