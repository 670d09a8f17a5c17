"""Carries out the whole plan in one Spark application.

spark-submit --properties-file .feldspar/spark/local.conf jobs/apply.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("apply")
