"""New files to bronze tables, each file once.

spark-submit --properties-file .feldspar/spark/local.conf jobs/ingest.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("ingest")
