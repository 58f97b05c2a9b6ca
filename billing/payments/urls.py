from django.urls import path

from billing.payments import api

urlpatterns = [
    path("api/wallet/vouchers", api.VouchersView.as_view(), name="api-wallet-vouchers"),
    path("payments/stripe/webhook", api.StripeWebhook.as_view(), name="stripe-webhook"),
]
