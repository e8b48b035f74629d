"""Two topics of forecasts for the same readings, compared: `eddycast models compare`."""
