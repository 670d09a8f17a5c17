"""Keeps tables and Redis up to date, round after round, until it is stopped.

spark-submit --properties-file .feldspar/spark/local.conf jobs/stream.py --every 30s --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("stream")
