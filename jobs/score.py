r"""A service's scores for the rows of a spine, by the champion.

spark-submit --properties-file .feldspar/spark/local.conf jobs/score.py \
    payment_fraud_service --spine FILE --out FILE --env local
"""

from feldspar.run.main import run_job

if __name__ == "__main__":
    run_job("score")
