# Databricks notebook source
# MAGIC %md
# MAGIC # Explore a training set
# MAGIC A training set is a spine (who, when, label) joined with the features of a service *as they
# MAGIC were known at that moment*. This notebook builds one for the newest payments and looks at it.
# MAGIC
# MAGIC `FELDSPAR_CONF` and `FELDSPAR_ENV` say which project and environment; run it from the project's
# MAGIC folder, after `feldspar apply`.

# COMMAND ----------

import os

from pyspark.sql import functions as F

from feldspar.run.project import open_project

project = open_project(os.environ.get("FELDSPAR_CONF", "conf"), os.environ.get("FELDSPAR_ENV", "local"))
print(f"clock: {project.clock}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The spine
# MAGIC Payments of the last two weeks. Extra columns (the label, the scenario) are kept as they are.

# COMMAND ----------

payments = project.table("silver.transactions")
newest = payments.agg(F.max("tx_datetime")).first()[0]
spine = payments.where(F.col("tx_datetime") > F.lit(newest) - F.expr("interval 14 days")).select(
    "transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount", "is_fraud"
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The same rows with their features
# MAGIC One row out for each row in: nothing is lost or multiplied.

# COMMAND ----------

training_set = project.training_set("payment_fraud_service", spine).cache()
features = [name for name in training_set.columns if name not in spine.columns]
print(f"{spine.count():,} rows in, {training_set.count():,} rows out, {len(features)} features")
training_set.show(5, vertical=True, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the features say of fraud
# MAGIC Mean of each feature for honest and for fraudulent payments, and how often it is null.

# COMMAND ----------

means = training_set.groupBy("is_fraud").agg(
    F.count("*").alias("payments"), *[F.avg(name).alias(name) for name in features]
)
means.orderBy("is_fraud").show(vertical=True)
training_set.agg(
    *[F.avg(F.col(name).isNull().cast("double")).alias(name) for name in features]
).show(vertical=True)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What would a wrong join have seen?
# MAGIC `as_of="known"` counts only what had arrived by each payment's own time. `as_of="event"` counts
# MAGIC everything that is known today, late arrivals included: where the two differ, a join on event
# MAGIC time alone would have leaked.

# COMMAND ----------

leaky = project.training_set("payment_fraud_service", spine, as_of="event")
sides = training_set.select("transaction_id", *features).alias("known").join(
    leaky.select("transaction_id", *features).alias("event"), "transaction_id"
)
differences = sides.agg(
    *[
        F.sum((~F.col(f"known.{name}").eqNullSafe(F.col(f"event.{name}"))).cast("long")).alias(name)
        for name in features
    ]
)
print("rows whose feature differs between as_of known and event:")
differences.show(vertical=True)

# COMMAND ----------

project.close()
