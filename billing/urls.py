from django.urls import path

from billing import api, views

urlpatterns = [
    # Root contract
    path("balance", api.BalanceView.as_view(), name="root-balance"),
    # /api/ contract
    path("api/wallet", api.WalletView.as_view(), name="api-wallet"),
    path("api/wallet/topup", api.TopUpView.as_view(), name="api-wallet-topup"),
    path("api/wallet/transactions", api.TransactionsView.as_view(), name="api-transactions"),
    # Pages
    path("wallet", views.WalletPage.as_view(), name="wallet"),
    path("wallet/statements", views.statement_list, name="statements"),
    path("wallet/statements/<str:month>.csv", views.statement_csv, name="statement-csv"),
    path("wallet/statements/<str:month>", views.statement, name="statement"),
]
