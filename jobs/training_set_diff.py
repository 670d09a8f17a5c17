r"""What changed between two training sets, and why.

spark-submit --properties-file .feldspar/spark/local.conf jobs/training_set_diff.py \
    training.payments@3 training.payments --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("training-set diff")
