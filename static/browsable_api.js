// A button of the browsable API that is pressed twice sends one Idempotency-Key twice, so its work
// is done once. Each answer is a page of its own, with a key of its own.
(function () {
  const key = document.currentScript.dataset.key;
  window.jQuery(document).on("ajaxSend", function (event, request, options) {
    if (options.type === "POST") request.setRequestHeader("Idempotency-Key", key);
  });
})();
