from django.apps import AppConfig


class PersonalDataConfig(AppConfig):
    name = "predictions.personal_data"
