# Databricks notebook source
# MAGIC %md
# MAGIC # Train and compare
# MAGIC A run leaves the rows that a model was trained on in `training.<model>`: features, label, when
# MAGIC the label became known, weight, and the period each belongs to. Here two models of one's own learn from them and are held
# MAGIC against the versions in the registry, on the newest days.
# MAGIC
# MAGIC `FELDSPAR_CONF` and `FELDSPAR_ENV` say which project and environment.

# COMMAND ----------

import os

from pyspark.sql import functions as F
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from feldspar.run.project import open_project

MODEL = "payment_fraud"

project = open_project(os.environ.get("FELDSPAR_CONF", "conf"), os.environ.get("FELDSPAR_ENV", "local"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Split by time, never by rows
# MAGIC The newest days are the test. A model may learn only from labels that were known when the
# MAGIC test began: fraud is known a week late, so the week before it teaches nothing.

# COMMAND ----------

rows = project.table(f"training.{MODEL}")
features = [name for name in rows.columns if "__" in name] + ["amount"]
test = rows.where(F.col("_group") == "test")
start = test.agg(F.min("_event_time")).first()[0]
train = rows.where((F.col("_group") == "past") & (F.col("_label_known") <= F.lit(start)))


def columns(df):
    """Features and label as pandas; the model's max_rows bounds how many rows there are."""
    found = df.select(*features, "_label").toPandas()
    return found[features].astype("float64"), found["_label"].astype(bool)


fit_features, fit_label = columns(train)
test_features, test_label = columns(test)
print(f"{len(fit_label):,} rows to learn from, {len(test_label):,} to judge by")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two models

# COMMAND ----------

candidates = {
    "logistic": make_pipeline(
        SimpleImputer(strategy="constant", fill_value=0.0),
        StandardScaler(),
        LogisticRegression(max_iter=1_000),
    ),
    "boosting": HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, random_state=0),
}
for name, model in candidates.items():
    scores = model.fit(fit_features, fit_label).predict_proba(test_features)[:, 1]
    auc, precision = roc_auc_score(test_label, scores), average_precision_score(test_label, scores)
    print(f"{name:<10} AUC {auc:.3f}  average precision {precision:.3f}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the registry holds
# MAGIC Each version was judged on the test window of its own training, with the cards that were
# MAGIC already known as compromised left out, so its figures are close to those above, not equal.

# COMMAND ----------

for model in project.models():
    for version in model["versions"]:
        mark = "champion" if version["version"] == model["champion"] else ""
        figures = version["metrics"]
        shown = {name: round(figures[name], 3) for name in figures if name.startswith("test_")}
        print(f"{model['model']} {version['version']} {mark}: {shown}")

# COMMAND ----------

project.close()
