r"""Judges refused rows again by what conf/ says today, and takes those that pass into silver.

spark-submit --properties-file .feldspar/spark/local.conf jobs/quarantine_replay.py \
    transactions --rule amount:between --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("quarantine replay")
