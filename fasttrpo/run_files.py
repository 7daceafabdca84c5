"""What the files of a run's folder are called."""

CONFIG = "config.json"
PROGRESS = "progress.csv"
CHECKPOINT = "checkpoint.npz"
MODEL = "model.npz"
EVALUATION = "evaluation.json"
EVALUATIONS = "evaluations.csv"
ERROR = "error.txt"
# Of a folder of many seeds.
SUMMARY = "summary.json"
