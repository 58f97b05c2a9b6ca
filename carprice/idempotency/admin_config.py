from django.contrib.admin.apps import AdminConfig


class OnceAdminConfig(AdminConfig):
    """Django's admin with a site of ours. Its module is imported before the models are."""

    default_site = "carprice.idempotency.admin_site.OnceAdminSite"
