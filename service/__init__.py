"""The online half of Eddycast: one hidden state per stream, a forecast for every observation."""
