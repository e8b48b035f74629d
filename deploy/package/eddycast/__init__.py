"""Eddycast. Beside this file stand links to `service/` and `training/`,
under the names they are imported by."""
