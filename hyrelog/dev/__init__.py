"""The development set-up: embedded servers, generated secrets, a demo tenant, and `manage.py up` to run it all."""
