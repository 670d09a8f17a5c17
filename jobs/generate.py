"""Writes the example domain's files, where no input of your own is given.

spark-submit --properties-file .feldspar/spark/local.conf jobs/generate.py --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("generate")
