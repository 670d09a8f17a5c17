# Databricks notebook source
# MAGIC %md
# MAGIC # Look up and explain one entity
# MAGIC The features of one customer over time, and the payments that they are made of.
# MAGIC
# MAGIC `FELDSPAR_CONF` and `FELDSPAR_ENV` say which project and environment; `CUSTOMER` picks a
# MAGIC customer, else it is the one with most payments.

# COMMAND ----------

import os
from datetime import UTC, timedelta

from pyspark.sql import functions as F

from feldspar.run.project import open_project

project = open_project(os.environ.get("FELDSPAR_CONF", "conf"), os.environ.get("FELDSPAR_ENV", "local"))

# COMMAND ----------

events = project.table("gold.customer_spend")
busiest = events.groupBy("customer_id").count().orderBy(F.desc("count"), "customer_id").first()
customer = int(os.environ.get("CUSTOMER", busiest["customer_id"]))
last = events.where(F.col("customer_id") == customer).agg(F.max("_event_time")).first()[0].astimezone(UTC)
print(f"customer {customer}, last payment {last}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Over time
# MAGIC The customer's features at eight moments: windows decay between payments, without any new row.

# COMMAND ----------

moments = [last + timedelta(days=day) for day in range(-4, 4)]
terminal = project.table("gold.terminal_risk").select("terminal_id").first()["terminal_id"]
over_time = project.features(
    "payment_fraud_service", [{"customer_id": customer, "terminal_id": terminal}], at=moments
)
spend = [name for name in over_time.columns if name.startswith("customer_spend__")]
over_time.select("at", *spend).orderBy("at").show(truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Why
# MAGIC The payments inside the 7-day window at the last moment but one: `(T - 7 d, T]`, and of those
# MAGIC only what had arrived by T. Their number and mean are `count_7d` and `avg_amount_7d` above.

# COMMAND ----------

at = moments[-2]
window = events.where(
    (F.col("customer_id") == customer)
    & (F.col("_event_time") > F.lit(at - timedelta(days=7)))
    & (F.col("_event_time") <= F.lit(at))
    & (F.col("_known_time") <= F.lit(at))
)
window.drop("_bucket").orderBy("_event_time").show(50, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Known when?
# MAGIC Payments that arrived late: until `_known_time` they were in no window, however old they are.

# COMMAND ----------

late = F.col("_known_time") > F.col("_event_time") + F.expr("interval 1 hour")
events.where((F.col("customer_id") == customer) & late).drop("_bucket").orderBy("_event_time").show()

# COMMAND ----------

project.close()
