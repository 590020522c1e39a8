-- Grain: one order line with its order's amounts, in cents of the order's currency, but
-- order_base_total_cents and order_refund_cents in cents of the base currency.
create type etl.order_line_input as (
    order_line_id bigint,
    order_id bigint,
    line_total_cents bigint,
    order_subtotal_cents bigint,
    order_discount_cents bigint,
    order_shipping_cents bigint,
    order_tax_cents bigint,
    order_total_cents bigint,
    order_base_total_cents bigint,
    order_refund_cents bigint,
    exchange_rate_e8 bigint
);
