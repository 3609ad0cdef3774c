from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from conftest_engine import prompt_for, request_for
from tokenizers import AddedToken

from pipeline.engine import standin
from pipeline.engine.chat_prompt import PromptFormat, contains_special_token
from pipeline.errors import CheckpointError, RowError
