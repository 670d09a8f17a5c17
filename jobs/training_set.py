r"""A service's features for the rows of a spine, point in time.

spark-submit --properties-file .feldspar/spark/local.conf jobs/training_set.py \
    payment_fraud_service --spine FILE --out FILE --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("training-set")
