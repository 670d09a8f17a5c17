"""Bronze to silver: typed, checked, de-duplicated; the rest to quarantine.

spark-submit --properties-file .feldspar/spark/local.conf jobs/refine.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("refine")
