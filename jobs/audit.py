"""What services answered, replayed from gold.

spark-submit --properties-file .feldspar/spark/local.conf jobs/audit.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("audit")
