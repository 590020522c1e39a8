-- Least privilege: the simulator writes rows, the others read them. Tables are listed by name:
-- tables of other owners are not the simulator's, and only their owners can grant them.
grant select, insert, update, delete on
public.suppliers, public.products, public.customers, public.orders, public.order_lines,
public.payments, public.stock_movements, public.interactions
to simulator;
grant usage on
sequence public.suppliers_supplier_id_seq, public.products_product_id_seq,
public.customers_customer_id_seq, public.orders_order_id_seq,
public.order_lines_order_line_id_seq, public.payments_payment_id_seq,
public.stock_movements_movement_id_seq, public.interactions_interaction_id_seq
to simulator;
grant select on
public.suppliers, public.products, public.customers, public.orders, public.order_lines,
public.payments, public.stock_movements, public.interactions
to debezium, reconcile;

grant select, insert on ledger.dirt to simulator;
grant select, insert, update on ledger.progress to simulator;
grant select on ledger.dirt, ledger.progress, ledger.applied_schema to reconcile;
