"""Holds finished tables against their expectations.

spark-submit --properties-file .feldspar/spark/local.conf jobs/quality.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("quality")
