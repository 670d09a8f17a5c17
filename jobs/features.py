"""Silver to gold: the rows and events of every feature view.

spark-submit --properties-file .feldspar/spark/local.conf jobs/features.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("features")
