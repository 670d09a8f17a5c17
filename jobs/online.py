"""Gold to Redis: push, rebuild or verify.

spark-submit --properties-file .feldspar/spark/local.conf jobs/online.py push --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("online")
