"""Silver to history: the rows that hold now (SCD1), or all that held and when (SCD2).

spark-submit --properties-file .feldspar/spark/local.conf jobs/history.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("history")
