CREATE TABLE public.transactions (
  transaction_id serial PRIMARY KEY,
  user_id int,
  amount decimal(10,2),
  status varchar(20),
  created_at timestamp NOT NULL DEFAULT now(),
  updated_at timestamp NOT NULL DEFAULT now()
);
