"""The published model table beside ours, on the same dates and features.

spark-submit --properties-file .feldspar/spark/local.conf jobs/handbook.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("handbook")
